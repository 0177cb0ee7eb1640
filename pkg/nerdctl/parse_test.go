package nerdctl

import (
	"strings"
	"testing"
)

func TestParseTmp(t *testing.T) {
	for _, s := range []string{"run --rm -it -e A=B -v ./x:/y alpine sh -c x", "-n k8s.io container ls -a", "pss", "run", "run --cpus=x a", "run --nmae x a", "ps -h", "--debug", "container", "compose -f x up -d", "ps -xa"} {
		inv, err := Parse(strings.Fields(s))
		if err != nil {
			t.Log(s, "->", err)
			continue
		}
		t.Log(s, "->", inv.Argv(), inv.Help)
	}
}
