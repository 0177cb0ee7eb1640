// Package hosttest is for tests about this host: it reads docs/files.md, so that they go through every path that it
// lists, and lets them mount. It must not know what linnet does there.
package hosttest

import (
	"path/filepath"
	"regexp"
	"strings"
)

var span = regexp.MustCompile("`([^`]+)`")

// Paths are the paths that the text of docs/files.md lists as made by linnet: those below LINNET_HOME,
// relative, and those outside, absolute, but for the kernel's own in /proc. id takes the place of
// <id>; what else stands for something is given a name.
func Paths(text, id string) (paths []string) {
	names := strings.NewReplacer("<id>", id, "<namespace>", "default", "<container>", "0123", "<digest>", "0123", "*", "1")
	text, _, _ = strings.Cut(text, "\n## Read, never written")
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		// A row begins with a path, not with the word for something else: interface, process.
		if len(cells) < 3 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		first := ""
		for _, found := range span.FindAllStringSubmatch(cells[1], -1) {
			path := names.Replace(found[1])
			switch {
			case strings.HasPrefix(path, "/proc/"):
				continue
			case first == "":
				first = path
			case !strings.Contains(path, "/"): // in the same directory
				path = filepath.Join(filepath.Dir(first), path)
			}
			paths = append(paths, path)
		}
	}
	return paths
}
