package doctor

import (
	"strings"
)

// userChecks are about what an ordinary user may do, and this process.
func userChecks() []Check {
	return []Check{
		{
			ID: "user-namespaces", Title: "user namespaces", judge: judgeUserNamespaces,
			Looks: "user.max_user_namespaces and kernel.unprivileged_userns_clone",
			Why:   "an ordinary user is root in a user namespace alone, and needs one to run containers",
		},
		{
			ID: "apparmor", Title: "AppArmor", judge: judgeAppArmor,
			Looks: "kernel.apparmor_restrict_unprivileged_userns",
			Why:   "AppArmor then takes all rights away in an ordinary user's namespaces, as Ubuntu does since 23.10",
		},
		{
			ID: "subuid", Title: "subordinate users and groups", judge: judgeSubIDs,
			Looks: "your lines in /etc/subuid and /etc/subgid, newuidmap and newgidmap",
			Why:   "the users in an ordinary user's containers are some of those",
		},
		{
			ID: "ulimits", Title: "limits of processes", judge: judgeLimits,
			Looks: "how many files and processes this session may have open",
			Why:   "a build of many files, or many containers, end with \"too many open files\"",
		},
	}
}

func judgeUserNamespaces(f *Facts) []Finding {
	if !f.rootless() {
		return nil
	}
	switch r := f.Rights; {
	case r.Clone == No:
		return []Finding{ordinary(f, "sysctl -w kernel.unprivileged_userns_clone=1", "kernel.unprivileged_userns_clone is 0: only root makes user namespaces")}
	case r.MaxNamespaces == 0:
		return []Finding{ordinary(f, "sysctl -w user.max_user_namespaces=28633", "user.max_user_namespaces is 0")}
	case r.MaxNamespaces > 0 && r.MaxNamespaces < 64:
		return []Finding{warning("sysctl -w user.max_user_namespaces=28633", "user.max_user_namespaces is %d: few containers and build steps run at once", r.MaxNamespaces)}
	}
	return []Finding{ok("ordinary users may make them")}
}

func judgeAppArmor(f *Facts) []Finding {
	if !f.rootless() || f.Rights.AppArmor == Unknown {
		return nil
	}
	if f.Rights.AppArmor == Yes {
		return []Finding{ordinary(f, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give linnet's rootlesskit a profile with \"userns,\"",
			"kernel.apparmor_restrict_unprivileged_userns is 1")}
	}
	return []Finding{ok("it does not restrict user namespaces")}
}

// fewIDs is how many subordinate IDs an image may need: the user nobody is 65534.
const fewIDs = 65536

func judgeSubIDs(f *Facts) (found []Finding) {
	if !f.rootless() || !f.Rights.SubKnown {
		return nil
	}
	r := f.Rights
	for _, file := range []struct {
		name, flag string
		have       int64
	}{{"/etc/subuid", "--add-subuids", r.SubUIDs}, {"/etc/subgid", "--add-subgids", r.SubGIDs}} {
		fix := "usermod " + file.flag + " 100000-165535 " + f.User + ", with numbers that no other user has there"
		switch {
		case file.have == 0:
			found = append(found, ordinary(f, fix, "%s has no line for %s", file.name, f.User))
		case file.have < fewIDs:
			found = append(found, warning(fix, "%s gives %s %d, and images use up to %d", file.name, f.User, file.have, fewIDs))
		}
	}
	if len(r.Helpers) > 0 {
		found = append(found, ordinary(f, "apt install uidmap", "%s: not installed", strings.Join(r.Helpers, ", ")))
	}
	return orOK(found, "%d users and %d groups", r.SubUIDs, r.SubGIDs)
}

func judgeLimits(f *Facts) (found []Finding) {
	r := f.Rights
	if r.Files == 0 {
		return nil
	}
	switch {
	case r.Files > 0 && r.Files < 256:
		found = append(found, failed("ulimit -n 1024, or more", "this session may open %d files", r.Files))
	case r.Files > 0 && r.Files < 1024:
		found = append(found, warning("ulimit -n 1024, or more", "this session may open %d files", r.Files))
	}
	if r.Processes > 0 && r.Processes < 1024 && !f.Root {
		found = append(found, warning("ulimit -u 4096, or more", "this session may have %d processes", r.Processes))
	}
	return orOK(found, "they are wide enough")
}
