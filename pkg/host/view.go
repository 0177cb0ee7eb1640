package host

// View is a directory, Dir, as a process apart from others is to see it: at At, with Empty, a directory that no process can
// write then, in the place of Hidden, which is in it. Empty is best on the same file system: a program that tells files apart
// by their numbers need not look at devices, too. Paths are absolute, and no links.
type View struct{ Dir, At, Hidden, Empty string }
