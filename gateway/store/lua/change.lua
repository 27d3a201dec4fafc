-- Write and remove documents, if their version is still the one that is expected; return whether.
-- KEYS: the version, documents by kind. ARGV: the new version, the expected one, then for each document three: the
-- place of its kind in KEYS (below 0: it is removed), its name, what it holds.

local version = redis.call('GET', KEYS[1]) or '0'
if version == ARGV[1] then
  return 1 -- sent again, since its answer was lost
end
if version ~= ARGV[2] then
  return 0
end
for i = 3, #ARGV, 3 do
  local place = tonumber(ARGV[i])
  if place > 0 then
    redis.call('HSET', KEYS[place], ARGV[i + 1], ARGV[i + 2])
  else
    redis.call('HDEL', KEYS[-place], ARGV[i + 1])
  end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
