// Package tig holds the one interface that nerdctl's own, non-test code takes
// from its test framework. nerdctl finds that framework through a replace
// directive of its repository, which does not reach us as a dependent; this
// package stands in for it so that nerdctl builds outside its repository.
package tig

// T is what nerdctl asks of a test: *testing.T has all of it. At run time
// nothing implements it, because no command of nerdctl runs a test.
type T interface {
	Helper()
	FailNow()
	Fail()
	Log(args ...any)
	Name() string
	TempDir() string
}
