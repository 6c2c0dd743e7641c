-- ARGV: clock, now, worker, question, life, delay, hosts, urls a host, held (host, token, number of keys), their keys,
-- wanted, until when a store that was restarted gives none, and those that pause still later. O(hosts leased + URLs given + keys held), and 200 hosts of a dead worker. Leases, when the next host is due,
-- the clock, up to which token its leases are lost, how many crawl, and which hosts of ours others want.
local at = clock(ARGV[1])
local now, worker, question = ARGV[2], ARGV[3], ARGV[4]
local most, limit = tonumber(ARGV[7]), tonumber(ARGV[8])
local quiet = tonumber(ARGV[12])
local answers = P .. 'w:' .. worker
local lapsed = beat(worker, at, tonumber(ARGV[5]), tonumber(ARGV[6]))
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
  local token = latest_token(at, 1)
  redis.call('HSET', answers, 'question', question, 'token', token)
  local chosen = {}
  for _, name in ipairs(cjson.decode(ARGV[11])) do
    local h = load_host(name)
    if h.token == '' and at >= quiet + tonumber(h.pause) then
      lease(h, token, worker, at)
      chosen[#chosen + 1] = h
      redis.call('ZREM', WANTED, name)
    elseif h.token ~= '' and h.worker ~= worker then
      -- Who holds it reads that it is wanted, and nobody else takes it: for as long as somebody asks again.
      redis.call('ZADD', WANTED, exact(at), name)
    end
  end
  local wanted_hosts = #chosen
  local present, due = redis.call('SCARD', P .. 'work'), 0
  local asked, share = most, most
  if present > 1 and most > 0 then
    -- With what it holds no more than its share, or the first takes every host. What the others leave for a second is
    -- free to all.
    local all = redis.call('ZCARD', READY) + tonumber(redis.call('HGET', R .. 'counts', 'leased') or '0')
    share = math.max(0, math.ceil(all / present) - redis.call('HLEN', P .. 'held:' .. worker))
    due = redis.call('ZCOUNT', READY, '-inf', now)
    local since = redis.call('HGET', answers, 'spared')
    if share >= math.min(most, due) then
      redis.call('HDEL', answers, 'spared')
    elseif not since then
      redis.call('HSET', answers, 'spared', exact(at))
    elseif at - tonumber(since) >= 1 then
      share = most
    end
    most = math.min(most, share)
  end
  if most > 0 then
    local kept = {}
    local others = redis.call('ZRANGEBYSCORE', WANTED, exact(at - KEPT), '+inf')
    for _, name in ipairs(others) do kept[name] = true end
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', READY, '-inf', now, 'LIMIT', 0, most + #others)) do
      if #chosen < most + wanted_hosts and not kept[name] then
        local h = load_host(name)
        if at >= quiet + tonumber(h.pause) then
          lease(h, token, worker, at)
          chosen[#chosen + 1] = h
        end
      end
    end
  end
  if present > 1 and asked > 0 then
    local lacks = math.min(asked, share) - (#chosen - wanted_hosts)
    if lacks > 0 then
      redis.call('ZADD', P .. 'short', exact(at), worker)
      redis.call('HSET', answers, 'short', whole(lacks))
    else
      redis.call('ZREM', P .. 'short', worker)
    end
  end
  for _, h in ipairs(chosen) do leases[#leases + 1] = give(h, token, {}, 0, 0) end
end
write_counts()
return {leases, redis.call('ZRANGE', READY, 0, 0, 'WITHSCORES')[2] or false, exact(at), lapsed,
  redis.call('SCARD', P .. 'work'), recalled(worker, at)}
