//go:build linux

package engine

import (
	"strings"
	"testing"
)

func TestOnlyWhatLooksIsNotSettled(t *testing.T) {
	for line, want := range map[string]bool{
		"nerdctl ps -a": true, "nerdctl images": true, "nerdctl image ls": true, "nerdctl container inspect x": true, "nerdctl exec x touch /y": true,
		"nerdctl compose ps": true, "nerdctl volume ls": true,
		"nerdctl run --rm x ps": false, "nerdctl pull x": false, "nerdctl volume create ps": false, "nerdctl compose up -d": false,
		"nerdctl --namespace=ps rm x": false, "nerdctl image prune": false, "nerdctl system prune": false, "nerdctl commit x y": false, "nerdctl load": false,
		"nerdctl compose --file=f ps": false, "nerdctl": false, "ps": false, "sync": false,
	} {
		if got := looks(strings.Fields(line)); got != want {
			t.Errorf("%s: looks %v, want %v", line, got, want)
		}
	}
}
