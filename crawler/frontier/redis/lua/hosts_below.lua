-- ARGV: cursor, domain. About 1,000 hosts: cursor, and which of them this run has that are the domain or end in it.
local found = redis.call('ZSCAN', P .. 'hosts', ARGV[1], 'COUNT', 1000)
local names, tail = {}, '.' .. ARGV[2]
for i = 1, #found[2], 2 do
  local name = found[2][i]
  if (name == ARGV[2] or string.sub(name, -#tail) == tail) and load_host(name).seen then names[#names + 1] = name end
end
return {found[1], names}
