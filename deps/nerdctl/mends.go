package main

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// mended begins the path of a module that was replaced by a mended copy; the names of its mends follow, a plus sign between
// them (deps/mends.go of linnet).
const mended = "./mended/"

// mends are the names of the mends that this program was built with.
func mends() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var names []string
	for _, d := range info.Deps {
		if d.Replace == nil {
			continue
		}
		if list, ok := strings.CutPrefix(d.Replace.Path, mended); ok {
			names = append(names, strings.Split(list, "+")...)
		}
	}
	return names
}

// mendsSuffix is what --version adds to the version.
func mendsSuffix() string {
	if names := mends(); len(names) > 0 {
		return " (mends: " + strings.Join(names, ", ") + ")"
	}
	return ""
}

func mendsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "mends", Short: "List the mends that this program was built with, by name", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range mends() {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
