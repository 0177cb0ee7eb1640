//go:build unix

package plan_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/compose/plan"
)

// fifty are fifty services, each of which depends on some of those before.
func fifty() string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range 50 {
		fmt.Fprintf(&b, "  s%02d:\n    image: image%d\n    environment: {A: a, B: b, C: c, D: d}\n    ports: ['%d:80']\n    volumes: [data:/data, /anonymous]\n    healthcheck: {test: [CMD, ok]}\n    networks: {default: {aliases: [x%d]}}\n", i, i%5, 8000+i, i)
		if i > 2 {
			fmt.Fprintf(&b, "    depends_on: {s%02d: {condition: service_healthy}, s%02d: {condition: service_started}}\n", i/2, i-1)
		}
	}
	b.WriteString("volumes: {data: }\n")
	return b.String()
}

// processor is the time that this process has had a processor.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPlan plans for fifty services; a plan is to take less than 5 ms.
func BenchmarkPlan(b *testing.B) {
	project := loadProject(b, fifty(), nil)
	for _, c := range []struct {
		name, command string
		made          bool
	}{{"first", "up", false}, {"no-change", "up", true}, {"recreate", "up --force-recreate", true}, {"down", "down --volumes", true}} {
		b.Run(c.name, func(b *testing.B) {
			f := &fake{state: plan.State{Images: map[string]plan.Image{}}, completes: map[string]bool{}, checked: map[string]bool{}}
			f.learn(project)
			w := parseCommand(b, "up")
			w.Project = project
			if c.made {
				if err := f.run(w, rand.New(rand.NewPCG(1, 1)), -1); err != nil {
					b.Fatal(err)
				}
			}
			f.settle()
			state := f.observe()
			w = parseCommand(b, c.command)
			w.Project = project
			steps, before := 0, processor(b)
			for b.Loop() {
				steps = len(plan.Make(w, state).Steps)
			}
			b.ReportMetric(float64(steps), "steps")
			b.ReportMetric(float64((processor(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op") // on a busy machine the time says little
		})
	}
}
