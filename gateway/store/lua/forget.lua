-- Forget counters whose end is before ARGV[2], of the first ARGV[3] by their end; returns how many.

return forget('(' .. ARGV[2], ARGV[3])
