package options

// Flag is a flag of `build` that others have, and that is therefore taken here.
type Flag struct {
	Name, Shorthand string
	// Value says that it takes one; else it is a switch.
	Value bool
	// From says who has it: buildx, docker (its own `build`), nerdctl.
	From string
}
