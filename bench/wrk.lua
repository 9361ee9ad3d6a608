-- Sends one method to PREFIX0001, PREFIX0002, ... in turn, with a body of
-- SIZE bytes unless that is 0.  All requests are made up before the first is
-- sent; the last line of the output is for Bench.pm.
--
--     wrk -s wrk.lua URL -- METHOD PREFIX KEYS SIZE

local requests = {}
local i = 0

function init(args)
   local method, prefix = args[1], args[2]
   local keys, size = tonumber(args[3]), tonumber(args[4])
   local body, headers = nil, {}

   if size > 0 then
      body = string.rep("v", size)
      headers["Content-Length"] = tostring(size)
   end

   for n = 1, keys do
      requests[n] = wrk.format(method, string.format("%s%04d", prefix, n),
                               headers, body)
   end
end

function request()
   i = i < #requests and i + 1 or 1
   return requests[i]
end

function done(summary, latency, _)
   local e = summary.errors

   io.write(string.format(
      "BENCH requests=%d us=%d connect=%d read=%d write=%d status=%d "
      .. "timeout=%d p50=%d p99=%d\n",
      summary.requests, summary.duration, e.connect, e.read, e.write,
      e.status, e.timeout, latency:percentile(50), latency:percentile(99)))
end
