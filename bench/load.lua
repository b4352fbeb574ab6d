-- The load that wrk sends: the lines of a file, in turn, over keep-alive connections.
-- Every line is `METHOD PATH` or `METHOD PATH BODY`. Settings come by the environment:
--   BENCH_REQUESTS  the file
--   BENCH_KEY       what follows `Authorization: Bearer`
--   BENCH_KEYS      optional: a file of such, of which each request takes the next
--   BENCH_HEADERS   optional: further headers, one a line
--   BENCH_EXPECT    the one status that counts as an answer; any other is counted in `unexpected`
--   BENCH_COUNT     optional: stop after so many answers
--   BENCH_LEAN      optional: don't look at answers one by one, which costs wrk more than all else; those of status 400
--                   and above are counted in `unexpected` all the same
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
local lean = os.getenv("BENCH_LEAN") ~= nil

function setup(thread)
  table.insert(threads, thread)
end

function init()
  expect = tonumber(os.getenv("BENCH_EXPECT"))
  limit = tonumber(os.getenv("BENCH_COUNT")) or math.huge
  answers, unexpected, first_unexpected, seconds = 0, 0, "", 0
  for name, value in (os.getenv("BENCH_HEADERS") or ""):gmatch("(%S+): ([^\n]+)\n") do
    wrk.headers[name] = value
  end
  local lines = lines_of("BENCH_REQUESTS", {})
  local keys = lines_of("BENCH_KEYS", { os.getenv("BENCH_KEY") })
  requests, next_request = {}, 0
  for index = 1, math.max(#lines, #keys) do
    wrk.headers["Authorization"] = "Bearer " .. keys[(index - 1) % #keys + 1]
    requests[index] = formatted(lines[(index - 1) % #lines + 1])
  end
  if lean and #requests == 1 then request = nil end -- Then wrk sends what was formatted last without asking.
end

function lines_of(variable, otherwise)
  local path, lines = os.getenv(variable), {}
  if not path then return otherwise end
  for line in io.lines(path) do
    lines[#lines + 1] = line
  end
  return lines
end

function formatted(line)
  local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
  local form = body:sub(1, 1) ~= "{" and "application/x-www-form-urlencoded"
  wrk.headers["Content-Type"] = body ~= "" and (form or "application/json") or nil
  wrk.method, wrk.path, wrk.body = method, path, body ~= "" and body or nil
  return wrk.format()
end

-- Formatting is done once, above: a request costs the generator a table look-up.
function request()
  started_at = started_at or now()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

local function look(status, headers, body)
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

if not lean then response = look end

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
  if lean then unexpected = errors.status end
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"max_us":%d,"socket_errors":%d,"unexpected":%d,"first_unexpected":%s}\n',
    summary.requests, seconds > 0 and seconds or summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.timeout, unexpected, quoted(first_unexpected)))
end
