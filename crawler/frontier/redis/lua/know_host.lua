-- ARGV: host
local h = load_host(ARGV[1])
if not h.known then return false end
local due, state, learnt_in = learnt(h.name)
local waiting = redis.call('ZCARD', R .. 'q:' .. h.name) + redis.call('ZCARD', R .. 'l:' .. h.name)
return {due, state, learnt_in, h.seen and 1 or 0, waiting, h.token ~= '' and 1 or 0, redis.call('HGETALL', P .. 'r:' .. h.name)}
