package gateway

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/kms"
	"github.com/shiftgrant/shiftgrant/internal/seal"
	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// keyFiles read and write keys where they are kept: as they are, or sealed by a key of AWS KMS. A
// line is "VERSION BASE64", or "VERSION kms BASE64"; the highest version is the one in use, the
// others still open what they sealed. The zero value is without KMS.
type keyFiles struct {
	kms *kms.Key

	mu     sync.Mutex
	opened map[string][]byte // by what KMS sealed, so that it is asked once
}

// kmsTimeout bounds what a start waits for KMS.
const kmsTimeout = 30 * time.Second

// readOrMake reads a key file, or makes one with a first key. With KMS, a file from before is
// sealed on the way.
func (f *keyFiles) readOrMake(path string) ([]seal.Key, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		key := newKey(1)
		return []seal.Key{key}, f.write(path, []seal.Key{key})
	}
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read key file %s: others can read it; run: chmod 600 %s", path, path)
	}
	keys, open, err := f.parse("key file "+path, filepath.Base(path), string(content))
	if err == nil && open && f.kms != nil {
		err = f.write(path, keys)
	}
	return keys, err
}

// parse reads keys for one purpose, and tells whether any of them was there as it is.
func (f *keyFiles) parse(name, purpose, content string) (keys []seal.Key, open bool, err error) {
	lines := bufio.NewScanner(strings.NewReader(content))
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		version, err := strconv.ParseUint(fields[0], 10, 32)
		if err != nil {
			return nil, false, fmt.Errorf("read %s: line %d does not start with a version", name, number)
		}
		key, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
		if err != nil || len(fields) < 2 || len(fields) > 3 || len(fields) == 3 && fields[1] != "kms" {
			return nil, false, fmt.Errorf("read %s: line %d has no base64 key", name, number)
		}
		if len(fields) == 3 {
			if key, err = f.unseal(key, purpose, uint32(version)); err != nil {
				return nil, false, fmt.Errorf("read %s: line %d: %w", name, number, err)
			}
		}
		open = open || len(fields) == 2
		keys = append(keys, seal.Key{Version: uint32(version), Bytes: key})
	}
	if len(keys) == 0 {
		return nil, false, fmt.Errorf("read %s: no key in it; restore it from your backup", name)
	}
	return keys, open, nil
}

// configured reads keys that the configuration points to.
func (f *keyFiles) configured(name, purpose string, content secret.Text) ([]seal.Key, error) {
	keys, open, err := f.parse(name, purpose, content.Reveal())
	if err == nil && open && f.kms != nil {
		err = fmt.Errorf("read %s: a key in it is not sealed, although keys.kms is configured: take the lines of keys/%s that a gateway with keys.kms has made in its data folder", name, purpose)
	}
	return keys, err
}

// bound is the encryption context: a key is for one purpose, in one version.
func bound(purpose string, version uint32) map[string]string {
	return map[string]string{"shiftgrant-key": purpose, "shiftgrant-version": strconv.FormatUint(uint64(version), 10)}
}

func (f *keyFiles) unseal(sealed []byte, purpose string, version uint32) ([]byte, error) {
	if f.kms == nil {
		return nil, errors.New("this key is sealed by AWS KMS: configure keys.kms")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	place := fmt.Sprintf("%s %d %s", purpose, version, sealed)
	if key, known := f.opened[place]; known {
		return key, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), kmsTimeout)
	defer cancel()
	key, err := f.kms.Decrypt(ctx, sealed, bound(purpose, version))
	if err != nil {
		return nil, err
	}
	if f.opened == nil {
		f.opened = map[string][]byte{}
	}
	f.opened[place] = key
	return key, nil
}

func newKey(version uint32) seal.Key {
	key := seal.Key{Version: version, Bytes: make([]byte, seal.KeySize)}
	rand.Read(key.Bytes) // never fails since Go 1.24
	return key
}

// write writes the file completely before it gets its name: a half-written key would lose
// everything sealed by it.
func (f *keyFiles) write(path string, keys []seal.Key) error {
	content := "# Keep a copy of this file in a safe place: without it, what it sealed is lost.\n"
	for _, key := range keys {
		line, err := f.line(key, filepath.Base(path))
		if err != nil {
			return fmt.Errorf("seal key file %s: %w", path, err)
		}
		content += line
	}
	if err := writeFileDurably(path, []byte(content)); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	return nil
}

func (f *keyFiles) line(key seal.Key, purpose string) (string, error) {
	if f.kms == nil {
		return fmt.Sprintf("%d %s\n", key.Version, base64.StdEncoding.EncodeToString(key.Bytes)), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), kmsTimeout)
	defer cancel()
	sealed, err := f.kms.Encrypt(ctx, key.Bytes, bound(purpose, key.Version))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d kms %s\n", key.Version, base64.StdEncoding.EncodeToString(sealed)), nil
}

func writeFileDurably(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // an error once it is renamed, which is what is wanted
	if _, err := file.Write(content); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
