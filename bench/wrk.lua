-- Sends one method to PREFIX0001, PREFIX0002, ... in turn or shuffled (always
-- in the same way), with TEXT as body, or SIZE bytes unless that is 0.  Where
-- there are two of them, PREFIX,PREFIX, each number goes to one and then to the
-- other.  All requests are made up before the first is sent; the last line of
-- the output is for Bench.pm.
--
--     wrk -s wrk.lua URL -- METHOD PREFIX KEYS SIZE [turn|shuffled [TEXT]]

local requests = {}
local i = 0

function init(args)
   local method, prefix = args[1], args[2]
   local keys, size = tonumber(args[3]), tonumber(args[4])
   local body, headers = args[6], {}

   if not body and size > 0 then
      body = string.rep("v", size)
   end

   if body then
      headers["Content-Length"] = tostring(#body)
   end

   local numbers = {}

   for n = 1, keys do
      numbers[n] = n
   end

   if args[5] == "shuffled" then
      math.randomseed(1)

      for n = keys, 2, -1 do
         local k = math.random(n)
         numbers[n], numbers[k] = numbers[k], numbers[n]
      end
   end

   for _, n in ipairs(numbers) do
      for p in prefix:gmatch("[^,]+") do
         requests[#requests + 1] = wrk.format(method,
            string.format("%s%04d", p, n), headers, body)
      end
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
      .. "timeout=%d p50=%d p99=%d max=%d\n",
      summary.requests, summary.duration, e.connect, e.read, e.write,
      e.status, e.timeout, latency:percentile(50), latency:percentile(99),
      latency.max))
end
