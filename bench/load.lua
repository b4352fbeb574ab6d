-- The load that wrk sends: the lines of a file, in turn, over keep-alive connections.
-- Every line is `METHOD PATH` or `METHOD PATH BODY`. Settings come by the environment:
--   BENCH_REQUESTS  the file
--   BENCH_KEY       the API key
--   BENCH_EXPECT    the one status that counts as an answer; any other is counted in `unexpected`
--   BENCH_COUNT     optional: stop after so many answers
-- The figures leave as one JSON object on the last line.

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long sec; long nsec; } bench_timespec;
  int clock_gettime(int clock, bench_timespec *at);
  int getpid(void);
  int kill(int pid, int signal);
]]
local CLOCK_MONOTONIC, SIGINT = 1, 2
local timespec = ffi.new("bench_timespec")
local function now()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, timespec)
  return tonumber(timespec.sec) + tonumber(timespec.nsec) / 1e9
end

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init()
  expect = tonumber(os.getenv("BENCH_EXPECT"))
  limit = tonumber(os.getenv("BENCH_COUNT")) or math.huge
  answers, unexpected, first_unexpected, seconds = 0, 0, "", 0
  wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
  requests, next_request = {}, 0
  for line in io.lines(os.getenv("BENCH_REQUESTS")) do
    local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
    local form = body:sub(1, 1) ~= "{" and "application/x-www-form-urlencoded"
    wrk.headers["Content-Type"] = body ~= "" and (form or "application/json") or nil
    requests[#requests + 1] = wrk.format(method, path, nil, body ~= "" and body or nil)
  end
end

-- Formatting is done once, above: a request costs the generator a table look-up.
function request()
  started_at = started_at or now()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

function response(status, headers, body)
  answers = answers + 1
  if status ~= expect then
    unexpected = unexpected + 1
    if first_unexpected == "" then first_unexpected = status .. " " .. body:sub(1, 200) end
  end
  if answers == limit then
    seconds = now() - started_at
    wrk.thread:stop()
    ffi.C.kill(ffi.C.getpid(), SIGINT) -- Else wrk's main thread would sleep out the duration.
  end
end

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

function done(summary, latency)
  local unexpected, first_unexpected, seconds = 0, "", 0
  for _, thread in ipairs(threads) do
    unexpected = unexpected + thread:get("unexpected")
    first_unexpected = first_unexpected ~= "" and first_unexpected or thread:get("first_unexpected")
    seconds = math.max(seconds, thread:get("seconds"))
  end
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"max_us":%d,"socket_errors":%d,"unexpected":%d,"first_unexpected":%s}\n',
    summary.requests, seconds > 0 and seconds or summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.timeout, unexpected, quoted(first_unexpected)))
end
