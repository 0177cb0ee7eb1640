package nerdctl

import (
	"path/filepath"
	"strings"
)

// copy localizes the host's side of cp; args are its source and its destination. What comes out of a container
// is written here, wherever the engine is: nerdctl has a tar write it that runs as root, and keeps what makes
// a program run as root. A path that begins with a hyphen is written so that it cannot be taken for a flag, also by those
// whom nerdctl hands it to.
func (l *localizer) copy(args []string, streams bool) error {
	for i := range args {
		if !isHostSide(args[i]) {
			continue
		}
		if strings.HasPrefix(args[i], "-") {
			args[i] = "./" + args[i]
		}
		if streams && i == 1 && isContainerSide(args[0]) {
			l.copyThrough(args, i)
			continue
		}
		there, readOnly, err := l.locate(args[i], false)
		switch write := i == 1; {
		case err == nil && !(write && readOnly):
			args[i] = keepTail(args[i], there)
		case err == nil:
			return &ReadOnlyError{Host: l.absolute(args[i], false)}
		case !streams:
			return err
		default:
			l.copyThrough(args, i)
		}
	}
	return nil
}

// copyThrough carries a path of the host that is not visible: a file to the container goes
// through the stage, so that cp itself decides what it is called there; a directory to the
// container, and anything from it, goes through a stream.
func (l *localizer) copyThrough(args []string, i int) {
	path := l.absolute(args[i], false)
	file := &HostFile{Path: keepTail(args[i], path), Tar: true, FollowLink: l.inv.Bool("follow-link")}
	switch {
	case i == 1:
		l.plan.Stdout = file
		args[i] = "-"
	case l.host.IsDir != nil && l.host.IsDir(path) || keepTail(args[i], path) != path:
		l.plan.Stdin = file
		args[i] = "-"
	default:
		args[i] = l.stage(path, true)
	}
}

func isContainerSide(arg string) bool { return strings.Contains(arg, ":") && !isHostSide(arg) }

// isHostSide is nerdctl's rule for which side of cp is a path of the host.
func isHostSide(arg string) bool {
	if arg == "" || arg == "-" {
		return false
	}
	name, _, container := strings.Cut(arg, ":")
	return filepath.IsAbs(arg) || !container || strings.HasPrefix(name, ".")
}

// keepTail gives path the tail of what was typed: to cp, a/. and a/ are not the same as a.
func keepTail(typed, path string) string {
	for _, tail := range []string{"/.", "/"} {
		if strings.HasSuffix(typed, tail) && !strings.HasSuffix(path, tail) {
			return path + tail
		}
	}
	return path
}
