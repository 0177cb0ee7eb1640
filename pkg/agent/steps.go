package agent

import (
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/report"
)

// Steps shows an agent's events as steps of a reporter.
type Steps struct {
	Report *report.Reporter
	step   *report.Step
}

// Tell takes one event.
func (s *Steps) Tell(e *agentpb.Event) {
	switch e.GetKind() {
	case agentpb.Event_KIND_STEP:
		if s.step != nil {
			s.step.Done() // an agent has one at a time
		}
		s.step = s.Report.Step(e.GetText())
	case agentpb.Event_KIND_NOTE:
		if s.step != nil {
			s.step.Note(e.GetText())
		}
	case agentpb.Event_KIND_DONE:
		if s.step != nil {
			s.step.Done()
			s.step = nil
		}
	}
}

// End ends the step under way when err says that it failed.
func (s *Steps) End(err error) {
	if s.step != nil && err != nil {
		s.step.Fail(err)
	}
}
