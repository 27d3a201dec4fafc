-- Charge what has expired until ARGV[2], ARGV[3] reservations at most; returns the id of each, and what was stored.

local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])) do
  local stored = redis.call('HGET', reservations, id)
  if stored then
    local holds = kept_holds_of(stored)
    free(holds)
    for _, hold in ipairs(holds) do
      local own = counter(hold[1])
      own.spent = own.spent + hold[4]
      change(own, hold[5])
    end
    redis.call('HSET', unsettled, id, stored)
    redis.call('HDEL', reservations, id)
    found[#found + 1] = id
    found[#found + 1] = stored
  end
  redis.call('ZREM', expiries, id)
end
write_back()
return found
