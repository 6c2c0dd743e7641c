-- ARGV: clock, scope, reason ('' none), detail (or null), whether it is to be whole of each, keys. Put these URLs of the
-- last published run into the one under way. How many were new? O(URLs), 15 microseconds each.
local new, keys = {}, {}
for i, row in ipairs(cjson.decode(ARGV[2])) do
  local scope, refused, detail, whole_ = unpack(row)
  local key = string.sub(ARGV[3], 16 * i - 15, 16 * i)
  local stored, known = redis.call('HGET', EARLIER, key), redis.call('HGET', URLS, key)
  local before = stored and cmsgpack.unpack(stored)
  if before and known then
    local url = cmsgpack.unpack(known)
    -- Not of those that are nearer to a seed than they were.
    if url[OUTCOME] == '' and whole_ == 0 and url[DEPTH] >= before[DEPTH] then
      url[VALID] = before[VALID]
      if refused ~= '' then
        local fixed = cjson.decode(url[FIXED])
        if fixed[4] == cjson.null then
          fixed[4], fixed[5] = refused, detail
          url[FIXED] = cjson.encode(fixed)
        end
      end
      redis.call('HSET', URLS, key, cmsgpack.pack(url))
    end
  elseif before then
    local fixed, route = cjson.decode(before[FIXED]), cjson.decode(before[ROUTE])
    local host, text, way = fixed[2], before[FIXED], before[ROUTE]
    if refused ~= '' or fixed[4] ~= cjson.null or fixed[5] ~= cjson.null then
      if refused == '' then
        fixed[4], fixed[5] = cjson.null, cjson.null
      else
        fixed[4], fixed[5] = refused, detail == cjson.null and fixed[5] or detail
      end
      text = cjson.encode(fixed)
    end
    local seed = before[SEED] == 1 or route[2]
    local own = scope == host and cjson.null or scope
    if seed ~= route[2] or own ~= route[3] or route[4] ~= 0 or route[5] ~= '' then
      way = cjson.encode({route[1], seed, own, 0, ''})
    end
    new[#new + 1] = {host, before[DEPTH], before[DEPTH], 0, 0, 0, text, way, whole_ == 1 and '' or before[VALID]}
    keys[#keys + 1] = key
  end
end
local number = admit(new, table.concat(keys), clock(ARGV[1]))
write_counts()
return number
