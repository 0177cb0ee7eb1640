package vm_test

import (
	"testing"

	"github.com/linnet-dev/linnet/pkg/vm"
	"github.com/linnet-dev/linnet/pkg/vm/vmtest"
)

func TestPlans(t *testing.T) {
	cases := vmtest.Load(t, "testdata/plan")
	if len(cases) < 25 {
		t.Errorf("there are %d cases only", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { c.Golden(t, vm.Compare(c.Want, c.Have, c.Goal)) })
	}
}
