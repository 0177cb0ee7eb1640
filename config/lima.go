package config

import _ "embed" // the template below

// LimaYAML is the template of the virtual machine's configuration, rendered by package lima.
// Two functions are its own: json writes a text for YAML, and text does so for the fields in
// which Lima expands templates.
//
//go:embed lima.yaml
var LimaYAML string
