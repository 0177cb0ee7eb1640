package doctor

// systemChecks are about programs and resources of this machine.
func systemChecks() []Check {
	return []Check{
		{
			ID: "iptables", Title: "iptables and nft", judge: judgeIPTables,
			Looks: "the program iptables, which kind it is, and whether tables of the other kind are in use",
			Why:   "published ports and containers' way out are rules; rules of two kinds at once are both in force, and hide each other",
		},
		{
			ID: "memory", Title: "memory", judge: judgeMemory,
			Looks: "the memory that is available",
			Why:   "the kernel ends containers and builds when there is none",
		},
		{
			ID: "inotify", Title: "inotify", judge: judgeInotify,
			Looks: "fs.inotify.max_user_instances",
			Why:   "tools that watch files, in containers too, end with \"too many open files\"",
		},
		{
			ID: "clock", Title: "clock", judge: judgeClock,
			Looks: "this machine's clock, whether a time server keeps it, and the virtual machine's clock beside it when that runs",
			Why:   "registries' certificates and tokens are refused when the time is wrong",
		},
	}
}

func judgeIPTables(f *Facts) []Finding {
	if !f.native() || !f.Root {
		return nil
	}
	s := f.System
	switch {
	case s.IPTables == "" && s.Nft:
		return []Finding{failed("apt install iptables", "iptables is missing; nft alone will not do")}
	case s.IPTables == "":
		return []Finding{failed("apt install iptables", "iptables is missing")}
	case s.Variant == "nft" && s.Legacy:
		return []Finding{warning("see who made them: iptables-legacy-save; then remove them, or use iptables-legacy for all", "%s writes nft's tables, and tables of the legacy kind are in use, too", s.IPTables)}
	case s.Variant == "":
		return []Finding{ok("%s", s.IPTables)}
	}
	return []Finding{ok("%s, which writes %s tables", s.IPTables, s.Variant)}
}

// The amounts of available memory, in bytes, below which things are ended, or may be.
const leastMemory, littleMemory = 128 << 20, 512 << 20

func judgeMemory(f *Facts) (found []Finding) {
	s := f.System
	if s.Memory == 0 {
		return nil
	}
	if s.Available > 0 && s.Available < leastMemory {
		found = append(found, failed("end what takes it", "%s available of %s", bytes(s.Available), bytes(s.Memory)))
	} else if s.Available > 0 && s.Available < littleMemory {
		found = append(found, warning("end what takes it", "%s available of %s", bytes(s.Available), bytes(s.Memory)))
	}
	if s.Available == 0 {
		return orOK(found, "%s", bytes(s.Memory))
	}
	return orOK(found, "%s available of %s", bytes(s.Available), bytes(s.Memory))
}

func judgeInotify(f *Facts) []Finding {
	if !f.native() || f.System.Watches == 0 {
		return nil
	}
	if f.System.Watches < 128 {
		return []Finding{warning("sysctl -w fs.inotify.max_user_instances=512", "fs.inotify.max_user_instances is %d", f.System.Watches)}
	}
	return []Finding{ok("%d instances for a user", f.System.Watches)}
}

// leastDrift is how many seconds two clocks may differ.
const leastDrift = 5

func judgeClock(f *Facts) (found []Finding) {
	const fix = "set it: timedatectl set-ntp true"
	if !f.Built.IsZero() && f.Now.Before(f.Built.AddDate(0, 0, -1)) {
		found = append(found, failed(fix, "it says %s, and this linnet was made on %s", f.Now.UTC().Format("2006-01-02"), f.Built.UTC().Format("2006-01-02")))
	} else if f.System.Unsynchronised == Yes {
		found = append(found, warning(fix, "no time server keeps it"))
	}
	if drift := f.VM.Clock.Seconds(); f.VM.ClockKnown && (drift > leastDrift || drift < -leastDrift) {
		way := "ahead of"
		if drift < 0 {
			way, drift = "behind", -drift
		}
		found = append(found, failed("linnet vm restart", "the virtual machine's clock is %.0f s %s this machine's", drift, way))
	}
	return orOK(found, "it is right, as far as can be told")
}
