-- ARGV: worker, question, most, how many (less than none: given back). Of the pages that those present may have answered
-- together: how many are granted, no more than half of an even share of what is left, and how many are left.
local answers = P .. 'w:' .. ARGV[1]
if redis.call('HGET', answers, 'paged') == ARGV[2] then
  return cmsgpack.unpack(redis.call('HGET', answers, 'pages'))
end
local used = tonumber(redis.call('HGET', R .. 'session', 'pages') or '0')
local left = math.max(0, tonumber(ARGV[3]) - used)
local share = math.ceil(left / (2 * math.max(1, redis.call('SCARD', P .. 'work'))))
local granted = math.min(tonumber(ARGV[4]), share)
redis.call('HSET', R .. 'session', 'pages', whole(math.max(0, used + granted)))
local answer = {granted, left - granted}
redis.call('HSET', answers, 'paged', ARGV[2], 'pages', cmsgpack.pack(answer))
return answer
