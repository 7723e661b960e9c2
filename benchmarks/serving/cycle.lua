-- For wrk: sends the requests of a file in turn, each once before any a second time.
-- Arguments after `--`: the file, and the number of the request to begin with.
-- The file: each request as its length (4 bytes, little endian) and its bytes on the wire.
local ffi = require("ffi")
ffi.cdef [[
int open(const char *path, int flags, ...);
long lseek(int fd, long offset, int whence);
void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);
]]

local base, size, at = nil, 0, 0

local function length()
   return ffi.cast("const uint32_t *", base + at)[0]
end

local function step()
   at = at + 4 + length()
   if at >= size then at = 0 end
end

function init(arguments)
   local fd = ffi.C.open(arguments[1], 0)
   if fd < 0 then error("cannot open " .. arguments[1]) end
   size = tonumber(ffi.C.lseek(fd, 0, 2))
   base = ffi.cast("const char *", ffi.C.mmap(nil, size, 1, 2, fd, 0))
   for _ = 1, tonumber(arguments[2]) do step() end
end

function request()
   local text = ffi.string(base + at + 4, length())
   step()
   return text
end

function done(summary, latency, _)
   local e = summary.errors
   io.write(string.format(
      "answered=%d seconds=%.6f not_2xx=%d broken=%d p50_us=%d p99_us=%d max_us=%d\n",
      summary.requests, summary.duration / 1e6, e.status,
      e.connect + e.read + e.write + e.timeout,
      latency:percentile(50), latency:percentile(99), latency.max))
end
