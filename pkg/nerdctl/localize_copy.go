package nerdctl

import (
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/linnet-dev/linnet/pkg/crossing"
)

// copy localizes the host's side of cp; args are its source and its destination. What comes out of a container
// is written here, wherever the engine is: nerdctl has a tar write it that runs as root, and keeps what makes
// a program run as root. A path that begins with a hyphen is written so that it cannot be taken for a flag, also by those
// whom nerdctl hands it to.
func (l *localizer) copy(args []string, streams bool) error {
	if streams && l.copyRoot(args) {
		return nil
	}
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
		there, readOnly, err := l.Locate(args[i], false)
		switch write := i == 1; {
		case err == nil && !(write && readOnly):
			args[i] = keepTail(args[i], there)
		case err == nil:
			return &crossing.ReadOnlyError{Host: l.Absolute(args[i], false)}
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
	here := l.Absolute(args[i], false)
	file := &crossing.HostFile{Path: keepTail(args[i], here), Tar: true, FollowLink: l.inv.Bool("follow-link")}
	switch {
	case i == 1:
		_, from, _ := strings.Cut(args[0], ":")
		if file.Entry = "."; !strings.HasSuffix(from, "/.") {
			file.Entry = path.Base(path.Clean("/" + from))
		}
		l.Plan().Stdout = file
		args[i] = "-"
	case l.IsDir(here) || keepTail(args[i], here) != here:
		l.Plan().Stdin = file
		args[i] = "-"
	default:
		args[i] = l.Stage(here, true)
	}
}

// copyRoot has a container's root copied by export, and reports whether that is what the line asks for. What is in the root goes to
// any destination, as with Docker. Of a container that runs, nerdctl's cp would send the link by which it reaches the
// root, or, for what is in it, fail at the files of the kernel in /proc and /sys.
func (l *localizer) copyRoot(args []string) bool {
	name, in, _ := strings.Cut(args[0], ":")
	toHost := isHostSide(args[1])
	if !isContainerSide(args[0]) || path.Clean("/"+in) != "/" || !toHost && args[1] != "-" {
		return false
	}
	export, err := l.inv.Alongside("export", "--", name)
	if err != nil {
		return false
	}
	if toHost {
		l.Plan().Stdout = &crossing.HostFile{Path: keepTail(args[1], l.Absolute(args[1], false)), Tar: true, Contents: true}
	}
	*l.inv = *export
	return true
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

// CopyingOut is `compose cp SERVICE:PATH PATH` in two commands, so that what comes out of a container is written here, as with
// cp. List prints the service's containers; Copy takes what List has printed and returns the cp of one of them.
func CopyingOut(inv *Invocation) (list *Invocation, copyOne func(listed string) (*Invocation, error), ok bool) {
	if strings.Join(inv.Path, " ") != "compose cp" || inv.Help || inv.Bool("dry-run") ||
		len(inv.Args) != 2 || !isContainerSide(inv.Args[0]) || !isHostSide(inv.Args[1]) {
		return nil, nil, false
	}
	service, path, _ := strings.Cut(inv.Args[0], ":")
	words := []string{"compose"}
	for _, v := range inv.Flags {
		if at := inv.definedBy(v.Flag); len(at) == 1 && v.Name() != "dry-run" {
			words = append(words, v.Word())
		}
	}
	list, err := inv.Alongside(append(words, "ps", "--all", "--quiet", "--", service)...)
	if err != nil {
		return nil, nil, false
	}
	return list, func(listed string) (*Invocation, error) {
		all := strings.Fields(listed)
		index, _ := strconv.Atoi(inv.String("index")) // Parse has read it
		switch {
		case len(all) == 0:
			return nil, fmt.Errorf("copying from %s: the service has no container", service)
		case index > len(all):
			return nil, fmt.Errorf("copying from %s: the service has %d containers, and not the one with --index %d", service, len(all), index)
		}
		words := []string{"cp"}
		if inv.Bool("follow-link") {
			words = append(words, "--follow-link")
		}
		return inv.Alongside(append(words, "--", all[max(index, 1)-1]+":"+path, inv.Args[1])...)
	}, true
}
