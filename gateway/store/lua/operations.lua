-- Reservations and settlements of one team, one after the other, in one atomic step.
--
-- ARGV[2]: their heads; ARGV[3...]: what is to be stored of each. A head is
--   0, id, hour, time, expires           a reservation, whose holds (counter, amount, limit, lapsed, until) are stored
--   1, id, hour, {counter, amount, until}...      a settlement
-- Returns for each, as numbers: the place of the hold that does not fit (0: granted), then spent and reserved of
-- each hold; or whether it was applied, what each charge's counter had spent before, spent and reserved of each.

local KEPT_S = 3 * 86400 -- how long counters are kept after their end
local MOST_FORGOTTEN = 16
local now = 0
local noted = {}

local function put_standings(answer, items)
  for _, item in ipairs(items) do
    local own = counter(item[1])
    answer[#answer + 1] = own.spent
    answer[#answer + 1] = own.reserved
  end
  return answer
end

-- Whether the id was reserved before, expired or not, or settled: a command can arrive late, after its repetition.
local function is_known(id, hour)
  return redis.call('HEXISTS', reservations, id) == 1
    or redis.call('HEXISTS', base .. 'ledger:' .. hour, id) == 1
    or redis.call('HEXISTS', unsettled, id) == 1
end

-- Take all; if one does not fit, none, and return its place.
local function take(holds)
  for place, hold in ipairs(holds) do
    local own = counter(hold[1])
    if own.spent + own.reserved + hold[2] > hold[3] then
      for back = 1, place - 1 do
        local taken = counter(holds[back][1])
        taken.reserved = taken.reserved - holds[back][2]
      end
      return place
    end
    own.reserved = own.reserved + hold[2]
  end
  for _, hold in ipairs(holds) do
    change(counter(hold[1]), hold[5])
  end
  return 0
end

local function reserve(head, stored)
  local id, hour, time, expires = head[2], head[3], head[4], head[5]
  local holds = holds_of(stored)
  local refused = 0
  if not is_known(id, hour) then
    refused = take(holds)
    if refused == 0 then
      redis.call('HSET', reservations, id, stored)
      redis.call('ZADD', expiries, expires, id)
      now = math.max(now, time)
    end
  end
  return put_standings({refused}, holds)
end

-- Take back what was charged when it expired; a counter holds less only if it was forgotten meanwhile.
local function take_back(holds)
  for _, hold in ipairs(holds) do
    local own = counter(hold[1])
    own.spent, own.changed = own.spent - math.min(hold[4], own.spent), true
  end
end

-- Free what the id holds, or take back what was charged for it.
local function finish(id)
  local stored = redis.call('HGET', reservations, id)
  if stored then
    free(kept_holds_of(stored))
    redis.call('HDEL', reservations, id)
    redis.call('ZREM', expiries, id)
    return
  end
  stored = redis.call('HGET', unsettled, id)
  if stored then
    take_back(kept_holds_of(stored))
    redis.call('HDEL', unsettled, id)
  end
end

local function note(hour)
  if not noted[hour] then
    redis.call('SADD', hours, hour)
    noted[hour] = true
  end
end

local function settle(head, entry)
  local id, hour, charges = head[2], head[3], head[4]
  if redis.call('HSETNX', base .. 'ledger:' .. hour, id, entry) == 0 then
    return {0}
  end
  note(hour)
  local answer = {1}
  for _, charge in ipairs(charges) do
    answer[#answer + 1] = counter(charge[1]).spent
  end
  finish(id)
  for _, charge in ipairs(charges) do
    local own = counter(charge[1])
    own.spent = own.spent + charge[2]
    change(own, charge[3])
  end
  return put_standings(answer, charges)
end

local answers = {}
for place, head in ipairs(cmsgpack.unpack(ARGV[2])) do
  local operate = head[1] == 0 and reserve or settle
  answers[place] = operate(head, ARGV[place + 2])
end
if write_back() and now > 0 then
  -- By the caller's clock and by this server's: a clock that is ahead makes nothing be forgotten that is still counted.
  now = math.min(now, tonumber(redis.call('TIME')[1]))
  forget(string.format('(%.17g', now - KEPT_S), MOST_FORGOTTEN)
end
return cmsgpack.pack(answers)
