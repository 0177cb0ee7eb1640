package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// Tree is the whole tree of a program's commands, for what describes them: man pages and the reference. Commands of nerdctl's stand in
// it by their names; what is below them is in nerdctl's tables.
func Tree(ctx context.Context, program route.Program, s *streams.Streams, extensions ...Extension) *cobra.Command {
	return newApp(ctx, program, nil, s, extensions...).newRoot()
}
