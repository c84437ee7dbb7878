package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup copies an SQLite database into a new file while gateways go on using it. The copy is
// the database as it was at one moment, and is complete and on disk, or not there at all. It
// never replaces a file.
func Backup(ctx context.Context, path, copyPath string) (err error) {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("back up %s: %w; give the data folder of a gateway", path, err)
	}
	if _, err := os.Lstat(copyPath); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("back up to %s: there is a file already, and a backup replaces none: choose another name", copyPath)
	}
	// CreateTemp makes files of mode 0600. SQLite writes into one only if it is empty.
	partial, err := os.CreateTemp(filepath.Dir(copyPath), ".partial-backup-*")
	if err != nil {
		return fmt.Errorf("back up to %s: %w", copyPath, err)
	}
	defer func() { err = errors.Join(err, os.Remove(partial.Name())) }()
	if err := errors.Join(copyDatabase(ctx, path, partial.Name()), partial.Sync(), partial.Close()); err != nil {
		return fmt.Errorf("back up %s: %w", path, err)
	}
	// A link fails where a rename would replace a file that has come in the meantime.
	if err := os.Link(partial.Name(), copyPath); err != nil {
		return fmt.Errorf("back up to %s: %w", copyPath, err)
	}
	return syncFolder(filepath.Dir(copyPath))
}

// copyDatabase reads in one transaction, which in WAL mode keeps nobody from writing.
func copyDatabase(ctx context.Context, path, copyPath string) error {
	source, err := sqlitePool(path, 1)
	if err != nil {
		return err
	}
	_, err = source.ExecContext(ctx, `VACUUM INTO $1`, copyPath)
	if err := errors.Join(err, source.Close()); err != nil {
		return err
	}
	made, err := sqlitePool(copyPath, 1, "query_only(1)")
	if err != nil {
		return err
	}
	return errors.Join(verify(ctx, made), made.Close())
}

// verify reads all of a copy before anybody relies on it.
func verify(ctx context.Context, copied *sql.DB) error {
	var verdict string
	if err := copied.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&verdict); err != nil {
		return fmt.Errorf("check the copy: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("check the copy: %s: the database itself may be damaged", verdict)
	}
	version, err := schemaVersion(ctx, copied)
	if err == nil && version == 0 {
		return errors.New("this is no database of shiftgrant")
	}
	return err
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
