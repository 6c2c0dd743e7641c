-- ARGV: clock, now, worker, question, life, delay, hosts, urls a host, held (host, token, number of keys), their keys,
-- wanted. O(hosts leased + URLs given + keys held), and 200 hosts of a dead worker.
local at = clock(ARGV[1])
local now, worker, question = ARGV[2], ARGV[3], ARGV[4]
local most, limit = tonumber(ARGV[7]), tonumber(ARGV[8])
local answers = P .. 'w:' .. worker
local late = beat(worker, at, tonumber(ARGV[5]), tonumber(ARGV[6]))
reap(at, tonumber(ARGV[6]), 200)

local function give(h, token, held, many, refill)
  local until_ = h.closed ~= '' and '+inf' or now
  local found = {}
  local function pick(keys)
    local picked = 0
    for _, key in ipairs(keys) do
      if picked > limit then return end
      if not held[key] then
        picked = picked + 1
        found[#found + 1] = {key, cmsgpack.unpack(redis.call('HGET', URLS, key))}
      end
    end
  end
  pick(redis.call('ZRANGE', R .. 'q:' .. h.name, 0, limit + many))
  pick(redis.call('ZRANGEBYSCORE', R .. 'l:' .. h.name, '-inf', until_, 'LIMIT', 0, limit + many + 1))
  table.sort(found, function(a, b)
    a, b = a[2], b[2]
    if a[PRIORITY] ~= b[PRIORITY] then return a[PRIORITY] < b[PRIORITY] end
    return a[ID] < b[ID]
  end)
  local urls = {}
  for i = 1, math.min(limit, #found) do
    local url = found[i][2]
    for _, value in ipairs({found[i][1], url[DEPTH], url[PRIORITY], url[SEED], url[ATTEMPT], url[FIXED], url[ROUTE], url[VALID]}) do
      urls[#urls + 1] = value
    end
  end
  local due, state, learnt_in = learnt(h.name)
  return {h.name, token, due, state, learnt_in, #found > limit and 1 or 0, refill,
    redis.call('HGET', R .. 'traps', h.name) or false, urls, redis.call('HGETALL', P .. 'r:' .. h.name)}
end

local leases = {}
local at_key = 0
for _, one in ipairs(cjson.decode(ARGV[9])) do
  local h, held = load_host(one[1]), {}
  for i = at_key + 1, at_key + one[3] do held[string.sub(ARGV[10], 16 * i - 15, 16 * i)] = true end
  at_key = at_key + one[3]
  if h.token == one[2] then
    local given = give(h, h.token, held, one[3], 1)
    if #given[9] > 0 then leases[#leases + 1] = given end
  end
end

if redis.call('HGET', answers, 'question') == question then
  -- The answer was lost on its way: the same leases once more.
  local token = redis.call('HGET', answers, 'token')
  local held = redis.call('HGETALL', P .. 'held:' .. worker)
  for i = 1, #held, 2 do
    if held[i + 1] == token then leases[#leases + 1] = give(load_host(held[i]), token, {}, 0, 0) end
  end
else
  -- Never used twice, also when the store forgets what it acknowledged: its clock goes on.
  local token = whole(math.max(tonumber(redis.call('HGET', KEYS[1], 'token') or '0') + 1, math.floor(at * 1000000)))
  redis.call('HSET', KEYS[1], 'token', token)
  redis.call('HSET', answers, 'question', question, 'token', token)
  local chosen = {}
  for _, name in ipairs(cjson.decode(ARGV[11])) do
    local h = load_host(name)
    if h.token == '' then
      lease(h, token, worker, at)
      chosen[#chosen + 1] = h
    end
  end
  -- No more than a fair share among the workers present, or the first takes every host.
  local present = redis.call('ZRANGEBYSCORE', P .. 'workers', '(' .. exact(at), '+inf')
  if #present > 1 then
    local all = redis.call('ZCARD', READY)
    for _, other in ipairs(present) do all = all + redis.call('HLEN', P .. 'held:' .. other) end
    most = math.min(most, math.ceil(all / #present) - redis.call('HLEN', P .. 'held:' .. worker))
  end
  if most > 0 then
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', READY, '-inf', now, 'LIMIT', 0, most)) do
      local h = load_host(name)
      lease(h, token, worker, at)
      chosen[#chosen + 1] = h
    end
  end
  for _, h in ipairs(chosen) do leases[#leases + 1] = give(h, token, {}, 0, 0) end
end
return {leases, redis.call('ZRANGE', READY, 0, 0, 'WITHSCORES')[2] or false, exact(at), late}
