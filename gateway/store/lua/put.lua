-- Write a document, or remove it where there is none in ARGV[3], and change the version.
-- KEYS: documents, version. ARGV: name, the new version, the document.

if ARGV[3] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('SET', KEYS[2], ARGV[2])
return 1
