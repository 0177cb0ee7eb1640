package nerdctl

// Mend returns the command line with what the pinned nerdctl is known to get wrong avoided,
// where that costs the user nothing. inv stays as it is. Each mend names its defect, so that
// it can go with the pin that has it.
func Mend(inv *Invocation) *Invocation {
	if loggerHangs(inv) {
		mended := inv.Clone()
		mended.Add("log-driver", "none")
		return mended
	}
	return inv
}

// loggerHangs says whether the line is an attached run of a container that is removed at
// its end. nerdctl 2.3.5 copies the output of an attached run to a logger of its own, which
// stops reading when the container ends; with more than a pipe's 64 KiB still to come,
// nerdctl then waits for ever. The log of a container that is removed is removed with it.
func loggerHangs(inv *Invocation) bool {
	switch {
	case len(inv.Path) == 0 || inv.Path[0] == "compose" || inv.Path[len(inv.Path)-1] != "run":
		return false
	case inv.Help, inv.Bool("detach"), !inv.Bool("rm"), inv.IsSet("log-driver"), inv.IsSet("log-opt"):
		return false
	}
	return true
}
