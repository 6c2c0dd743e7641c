-- ARGV: key, host
local stored = redis.call('HGET', URLS, ARGV[1])
if not stored then return false end
local url = cmsgpack.unpack(stored)
local name = cjson.decode(url[FIXED])[2]
local due, state, learnt_in = learnt(name)
return {url[DEPTH], url[PRIORITY], url[SEED], url[ATTEMPT], url[FIXED], url[ROUTE], url[VALID], url[NOT_BEFORE],
  url[OUTCOME], url[REASON], url[STATUS], due, state, learnt_in}
