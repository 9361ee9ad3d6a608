-- Sends one method to PREFIX0001, PREFIX0002, ... with TEXT as body, or SIZE
-- bytes unless that is 0: in turn, shuffled (always in the same way), or drawn
-- at random, where all are as likely as each other, or by Zipf's law (s = 0.99).
-- Where there are two of them, PREFIX,PREFIX, each number goes to one and then
-- to the other.  All requests are made up before the first is sent; the last
-- line of the output is for Bench.pm.
--
--     wrk -s wrk.lua URL -- METHOD PREFIX KEYS SIZE
--                           [turn|shuffled|uniform|zipf [TEXT]]

local requests = {}
local draws                     -- of the requests, where they are drawn
local i = 0
local threads = 0

-- threads begin at different places

function setup(thread)
   thread:set("serial", threads)
   threads = threads + 1
end

local function shuffle(numbers)
   for n = #numbers, 2, -1 do
      local k = math.random(n)
      numbers[n], numbers[k] = numbers[k], numbers[n]
   end
end

-- the keys that are asked for most are anywhere among the others

local function zipf(keys, count)
   local sums, sum, names = {}, 0, {}

   for n = 1, keys do
      sum = sum + 1 / n ^ 0.99
      sums[n], names[n] = sum, n
   end

   shuffle(names)

   for d = 1, count do
      local x = math.random() * sum
      local low, high = 1, keys

      while low < high do
         local mid = math.floor((low + high) / 2)
         if sums[mid] < x then low = mid + 1 else high = mid end
      end

      draws[d] = names[low]
   end
end

function init(args)
   local method, prefix = args[1], args[2]
   local keys, size = tonumber(args[3]), tonumber(args[4])
   local order, body, headers = args[5], args[6], {}

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

   math.randomseed(1)

   if order == "shuffled" then
      shuffle(numbers)
   end

   for _, n in ipairs(numbers) do
      for p in prefix:gmatch("[^,]+") do
         requests[#requests + 1] = wrk.format(method,
            string.format("%s%04d", p, n), headers, body)
      end
   end

   local count = 262144

   if order == "uniform" then
      draws = {}

      for d = 1, count do
         draws[d] = math.random(#requests)
      end

   elseif order == "zipf" then
      draws = {}
      zipf(#requests, count)
   end

   i = math.floor((draws and count or #requests) / 7 * serial)
end

function request()
   if draws then
      i = i < #draws and i + 1 or 1
      return requests[draws[i]]
   end

   i = i < #requests and i + 1 or 1
   return requests[i]
end

function done(summary, latency, _)
   local e = summary.errors

   io.write(string.format(
      "BENCH requests=%d us=%d connect=%d read=%d write=%d status=%d "
      .. "timeout=%d p50=%d p99=%d p999=%d max=%d\n",
      summary.requests, summary.duration, e.connect, e.read, e.write,
      e.status, e.timeout, latency:percentile(50), latency:percentile(99),
      latency:percentile(99.9), latency.max))
end
