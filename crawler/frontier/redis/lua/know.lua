-- ARGV: key, host
local stored = redis.call('HGET', URLS, ARGV[1])
if not stored then return false end
local url = cmsgpack.unpack(stored)
local name = cjson.decode(url[FIXED])[2]
local h = redis.call('HMGET', P .. 'h:' .. name, 'd', 'j', 'jg')
return {url[DEPTH], url[PRIORITY], url[SEED], url[ATTEMPT], url[FIXED], url[ROUTE], url[VALID], url[NOT_BEFORE],
  url[OUTCOME], url[REASON], url[STATUS], h[1] or '0', h[2] or '', h[3] == G and 1 or 0}
