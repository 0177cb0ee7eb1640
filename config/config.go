// Package config is the files that linnet carries inside: the annotated default settings,
// which are also their reference, and the templates of what the engine's parts read.
//
// It exists because a file can only be embedded from its own directory, and a reference is best
// read as a file. It must not know what any of them mean.
package config

import _ "embed" // the file below

//go:embed linnet.yaml
var linnetYAML string

// LinnetYAML is the annotated default linnet.yaml, as a user can copy it to start from.
func LinnetYAML() string { return linnetYAML }
