-- Admit requests under all of their limits or none: the same ring as in shared memory.
--
-- ARGV: now in microseconds (0: this server's clock), the lease of a place in microseconds, then
-- for each request its id and the number of its limits, and for each limit rate, window in
-- microseconds, cap. KEYS: for each limit its ring if it has a rate, its places if it has a cap.
-- Returns four numbers a request: which of its limits refused or else has least left (1 is the
-- first, 0 none), what remains, microseconds until a place frees, microseconds to wait (0: let in).
--
-- A ring is a string: admissions ever, admissions that have left the window, then one time a
-- place, each a double. Microseconds since 1970 fit a double exactly.

local now = tonumber(ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end
local lease = tonumber(ARGV[2])
local SLACK = 1000000
local BUSY = 100000

local function time_at(ring, rate, i)
  local from = 16 + (i % rate) * 8
  local packed = redis.call('GETRANGE', ring, from, from + 7)
  return (struct.unpack('<d', packed))
end

local function leave(ring, rate, left, count, cut)
  local step = 1
  while left + step < count and time_at(ring, rate, left + step) <= cut do
    left = left + step
    step = step * 2
  end
  local low, high = left + 1, math.min(left + step, count)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if time_at(ring, rate, middle) <= cut then low = middle + 1 else high = middle end
  end
  return low
end

local out, k, a = {}, 1, 3
while a <= #ARGV do
  local id, n = ARGV[a], tonumber(ARGV[a + 1])
  a = a + 2
  local which, least, reset, wait, by = 0, 0, 0, 0, 0
  local plan = {}
  for i = 1, n do
    local rate, per, cap = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
    a = a + 3
    local one = {rate = rate, per = per}
    if rate > 0 then
      local ring, count, left = KEYS[k], 0, 0
      k = k + 1
      local head = redis.call('GETRANGE', ring, 0, 15)
      if #head == 16 then count, left = struct.unpack('<dd', head) end
      local cut, oldest = now - per, nil
      if left < count then
        oldest = time_at(ring, rate, left)
        if oldest <= cut then
          left = leave(ring, rate, left, count, cut)
          oldest = left < count and time_at(ring, rate, left) or nil
        end
      end
      if oldest and oldest > now + SLACK then  -- the clock went back, as after a failover
        left, oldest = count, nil
      end
      local room = rate - count + left
      local frees = oldest and oldest - cut or per
      if room <= 0 then
        if frees > wait then by, wait = i, frees end
      elseif which == 0 or room < least then
        which, least, reset = i, room, frees
      end
      one.ring, one.count, one.left = ring, count, left
    end
    if cap > 0 then
      local places = KEYS[k]
      k = k + 1
      redis.call('ZREMRANGEBYSCORE', places, '-inf', now)
      if redis.call('ZCARD', places) >= cap and wait < BUSY then by, wait = i, BUSY end
      one.places = places
    end
    plan[i] = one
  end
  if by > 0 then
    which, least, reset = by, 0, wait
  else
    for i = 1, n do
      local one = plan[i]
      if one.ring then
        local at = now
        if one.count > one.left then
          at = math.max(now, time_at(one.ring, one.rate, one.count - 1))
        end
        local to = 16 + (one.count % one.rate) * 8
        redis.call('SETRANGE', one.ring, 0, struct.pack('<dd', one.count + 1, one.left))
        redis.call('SETRANGE', one.ring, to, struct.pack('<d', at))
        redis.call('PEXPIRE', one.ring, math.ceil(one.per / 1000) + 60000)
      end
      if one.places then
        redis.call('ZADD', one.places, now + lease, id)
        redis.call('PEXPIRE', one.places, math.ceil(lease / 1000) + 60000)
      end
    end
    if which > 0 then least = least - 1 end
  end
  local base = #out
  out[base + 1], out[base + 2], out[base + 3], out[base + 4] = which, least, reset, wait
end
return out
