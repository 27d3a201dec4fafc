-- A team's keys and its counters: read once, changed here, written back together at the script's end.
-- The other scripts begin with this one.
--
-- KEYS: reservations, expiries, unsettled, ends, hours. ARGV[1]: what the names of the team's other keys begin with.
-- Numbers are exact below 2^53; limits are below 9e15, and so is what is spent and reserved within them.

local reservations, expiries, unsettled, ends, hours = unpack(KEYS)
local base = ARGV[1]
local counters = {}

local function counter(name)
  local own = counters[name]
  if own == nil then
    local read = redis.call('HMGET', base .. 'c:' .. name, 's', 'r', 'u')
    own = {spent = tonumber(read[1] or 0), reserved = tonumber(read[2] or 0), ends = read[3] and tonumber(read[3])}
    counters[name] = own
  end
  return own
end

-- Note that the counter has changed, and when it may be forgotten: some time after `until_`, or never.
local function change(own, until_)
  own.changed = true
  if (own.ends or nil) ~= until_ then
    own.ends, own.moved = until_, true
  end
end

local function is_hold(hold)
  return type(hold) == 'table' and type(hold[1]) == 'string' and type(hold[2]) == 'number' and type(hold[4]) == 'number'
end

-- What a reservation holds stands after 4 bytes, and its entry after that.
local function holds_of(stored)
  local _, holds = cmsgpack.unpack_one(stored, 4)
  return holds
end

-- The same of what somebody else may have written: what can't be read is nothing, and stays reserved. An error would end
-- the script half way, and take what other operations have changed along. All holds of one have the shape of its first.
local function kept_holds_of(stored)
  local read, holds = pcall(holds_of, stored)
  if read and type(holds) == 'table' and (#holds == 0 or is_hold(holds[1])) then
    return holds
  end
  return {}
end

local function free(holds)
  for _, hold in ipairs(holds) do
    local own = counter(hold[1])
    own.reserved, own.changed = own.reserved - hold[2], true
  end
end

local function write_end(name, own)
  if own.ends then
    redis.call('HSET', base .. 'c:' .. name, 'u', own.ends)
    redis.call('ZADD', ends, own.ends, name)
  else
    redis.call('HDEL', base .. 'c:' .. name, 'u')
    redis.call('ZREM', ends, name)
  end
end

-- Write what has changed; return whether a counter is new.
local function write_back()
  local new = false
  for name, own in pairs(counters) do
    if own.changed then
      redis.call('HSET', base .. 'c:' .. name, 's', own.spent, 'r', own.reserved)
    end
    if own.moved then
      write_end(name, own)
      new = true
    end
  end
  return new
end

-- Forget counters that ended before (a score of ZRANGEBYSCORE's), `most` at a time; return how many.
local function forget(before, most)
  local forgotten = 0
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', before, 'LIMIT', 0, most)) do
    if tonumber(redis.call('HGET', base .. 'c:' .. name, 'r') or 0) == 0 then
      redis.call('DEL', base .. 'c:' .. name)
      redis.call('ZREM', ends, name)
      forgotten = forgotten + 1
    end
  end
  return forgotten
end
