package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// openOutput gives where the rows go, and what to do at the end: a file is there with all rows or, after
// a failure, as it was before.
func (o *queryOptions) openOutput(command *cobra.Command) (io.Writer, func(error) error, error) {
	if o.output == "" {
		return command.OutOrStdout(), func(err error) error { return err }, nil
	}
	if info, err := os.Stat(o.output); err == nil && !info.Mode().IsRegular() { // a pipe or a device
		file, err := os.OpenFile(o.output, os.O_WRONLY, 0)
		if err != nil {
			return nil, nil, fmt.Errorf("write the rows: %w", err)
		}
		return file, func(err error) error { return errors.Join(err, file.Close()) }, nil
	}
	part := o.output + "." + rand.Text()[:8] + ".part"
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, nil, fmt.Errorf("write the rows: %w", err)
	}
	return file, func(err error) error {
		if err = errors.Join(err, file.Close()); err == nil {
			err = os.Rename(part, o.output)
		}
		if err != nil {
			return errors.Join(err, os.Remove(part))
		}
		return nil
	}, nil
}
