package nerdctl

func Rename(s, p string) string { return s }
func Help(c *Command, p string) string { return c.Use }
