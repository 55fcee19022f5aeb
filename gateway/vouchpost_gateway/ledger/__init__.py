"""The durable record in Redis: keys in one table, a file per noun, a Lua script per step that must be one write."""
