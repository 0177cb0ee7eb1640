package gather

import (
	"strconv"
	"strings"

	"github.com/linnet-dev/linnet/pkg/doctor"
)

// parseLocks reads /proc/locks (proc(5)): which process has a file locked by flock(2).
func parseLocks(text string) map[file]int {
	held := map[file]int{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" { // "->" stands behind the number of one that waits
			continue
		}
		pid, err := strconv.Atoi(fields[4])
		where := strings.Split(fields[5], ":")
		if err != nil || len(where) != 3 {
			continue
		}
		major, err1 := strconv.ParseUint(where[0], 16, 32)
		minor, err2 := strconv.ParseUint(where[1], 16, 32)
		inode, err3 := strconv.ParseUint(where[2], 10, 64)
		if err1 == nil && err2 == nil && err3 == nil {
			held[file{uint32(major), uint32(minor), inode}] = pid
		}
	}
	return held
}

// parseMemory reads /proc/meminfo: the bytes that there are, and that are available.
func parseMemory(text string) (total, available int64) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = n * 1024
		case "MemAvailable:":
			available = n * 1024
		}
	}
	return total, available
}

// parseSubIDs reads /etc/subuid or /etc/subgid (subuid(5)): how many IDs a user, by name or number, has.
func parseSubIDs(text, user, uid string) (sum int64) {
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 || fields[0] != user && fields[0] != uid {
			continue
		}
		if n, err := strconv.ParseInt(fields[2], 10, 64); err == nil && n > 0 {
			sum += n
		}
	}
	return sum
}

// parseServers reads the name servers of a resolv.conf (resolv.conf(5)); those behind the third are never asked.
func parseServers(text string) (all []doctor.Server) {
	const most = 3
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "nameserver" && len(all) < most {
			all = append(all, doctor.Server{Address: fields[1]})
		}
	}
	return all
}

// parseCGroups reads /proc/self/mountinfo: which version of control groups is mounted.
func parseCGroups(mountinfo string) string {
	var v1, v2 bool
	for line := range strings.Lines(mountinfo) {
		_, after, _ := strings.Cut(line, " - ")
		kind, _, _ := strings.Cut(after, " ")
		v1 = v1 || kind == "cgroup"
		v2 = v2 || kind == "cgroup2"
	}
	switch {
	case v1 && v2:
		return "hybrid"
	case v1:
		return "v1"
	case v2:
		return "v2"
	}
	return "none"
}

// parseControllers reads /proc/cgroups (cgroups(7)): the controllers that are switched on.
func parseControllers(text string) (all []string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 4 && !strings.HasPrefix(fields[0], "#") && fields[3] == "1" {
			all = append(all, fields[0])
		}
	}
	return all
}

// parseLimit reads a soft and a hard limit out of /proc/PID/limits (proc(5)); -1 is none, 0 not known.
func parseLimit(text, name string) (soft, hard int64) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok {
			continue
		}
		if fields := strings.Fields(rest); len(fields) >= 2 {
			return limit(fields[0]), limit(fields[1])
		}
	}
	return 0, 0
}

func limit(text string) int64 {
	if text == "unlimited" {
		return -1
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// narrower is the narrower of two limits, of which 0 is not known and -1 none.
func narrower(a, b int64) int64 {
	switch {
	case a == 0 || a == -1 && b != 0:
		return b
	case b == 0 || b == -1:
		return a
	}
	return min(a, b)
}

// isListed reports whether /proc/filesystems, or a list of modules such as modules.builtin, has a name.
func isListed(text, name string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == name || strings.HasSuffix(line, "\t"+name) || strings.HasSuffix(line, "/"+name+".ko") {
			return true
		}
	}
	return false
}

// number reads a file that holds one; ok reports whether it does.
func number(text string) (n int64, ok bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, err == nil
}

// known makes of a condition what is known.
func known(is bool) doctor.Known {
	if is {
		return doctor.Yes
	}
	return doctor.No
}
