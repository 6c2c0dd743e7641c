-- ARGV: clock, rows, keys
local new = admit(cjson.decode(ARGV[2]), ARGV[3], clock(ARGV[1]))
write_counts()
return new
