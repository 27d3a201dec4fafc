-- Keep receipts, of all of them the latest ARGV[1]. KEYS: receipts by team and id, their names in order.
-- ARGV[2...]: each one's name, and the receipt.

for place = 2, #ARGV, 2 do
  if redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1]) == 1 then
    redis.call('LPUSH', KEYS[2], ARGV[place])
  end
end
local most = tonumber(ARGV[1])
for _ = most + 1, redis.call('LLEN', KEYS[2]) do
  redis.call('HDEL', KEYS[1], redis.call('RPOP', KEYS[2]))
end
