package gateway

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/kms"
	"github.com/shiftgrant/shiftgrant/internal/seal"
)

// keyRing are the gateway's own keys, as one tenant has them. What seals is the same for all, since
// each sealed value is for its tenant; what signs, and what is derived, is the tenant's own.
type keyRing struct {
	mu       *sync.Mutex // held while a key file is changed
	files    *keyFiles
	sealPath string
	sealed   SecretRef // in place of the file, where it is configured

	ring     *seal.Ring // one for all, so that a new version is everywhere at once
	start    []seal.Key // of the ring when the gateway started, the newest last
	rotation []seal.Key

	tenant       string
	issuerFolder string
	issuer       *issuer.Keys
	issuerKMS    bool                 // new signing keys are made in KMS
	look         bool                 // nothing is made
	reminded     map[string]time.Time // by what the log's reader was reminded of
	rotateAfter  time.Time            // the next signing key is not tried before
}

// of are the keys for a tenant. Its issuer's are still to be opened.
func (k *keyRing) of(view *Config) (*keyRing, error) {
	own := *k
	own.tenant, own.issuerFolder, own.issuerKMS = view.tenant, view.SigningKeys(), len(view.Keys.IssuerKMS) > 0
	if own.tenant == grant.DefaultTenant {
		return &own, nil
	}
	own.rotation = make([]seal.Key, 0, len(k.rotation))
	for _, key := range k.rotation {
		derived, err := hkdf.Key(sha256.New, key.Bytes, nil, "shiftgrant rotation of tenant "+own.tenant, seal.KeySize)
		if err != nil {
			return nil, fmt.Errorf("derive the rotation key of tenant %s: %w", own.tenant, err)
		}
		own.rotation = append(own.rotation, seal.Key{Version: key.Version, Bytes: derived})
	}
	return &own, nil
}

func (k *keyRing) open(folder string, config Keys, service *kms.Key) error {
	k.mu, k.files = &sync.Mutex{}, &keyFiles{kms: service}
	k.sealPath, k.sealed = filepath.Join(folder, "keys", "seal"), config.Seal
	var err error
	if k.start, err = k.readSeal(); err != nil {
		return err
	}
	if k.ring, err = seal.NewRing(k.start...); err != nil {
		return err
	}
	k.ring.ReloadBy(k.readSeal)
	if !config.Rotation.Secret().IsZero() {
		k.rotation, err = k.files.configured("keys.rotation", "rotation", config.Rotation.Secret())
		return err
	}
	k.rotation, err = k.files.readOrMake(filepath.Join(folder, "keys", "rotation"))
	return err
}

// readSeal reads the versions of the sealing key from where they are kept.
func (k *keyRing) readSeal() ([]seal.Key, error) {
	if k.sealed.Secret().IsZero() {
		return k.files.readOrMake(k.sealPath)
	}
	content, err := k.sealed.again()
	if err != nil {
		return nil, fmt.Errorf("read keys.seal: %w", err)
	}
	return k.files.configured("keys.seal", "seal", content)
}

// reload finds keys that somebody else has put where ours are kept. What cannot be read changes
// nothing.
func (k *keyRing) reload(now time.Time, logger *slog.Logger) {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys, err := k.readSeal()
	if err == nil {
		err = k.ring.Replace(keys...)
	}
	if err = errors.Join(err, k.issuer.Reload(now)); err != nil {
		logger.Error("read the keys again; going on with those that there are", "error", err)
	}
}

// derive gives a part a key of its own, so that what one part seals no other opens, and those
// that it had from earlier versions. No tenant opens what another's parts sealed.
func (k *keyRing) derive(purpose string) (key []byte, before [][]byte, err error) {
	if k.tenant != grant.DefaultTenant {
		purpose += " of tenant " + k.tenant
	}
	newest := k.ring.Newest()
	for _, version := range k.start {
		derived, err := hkdf.Key(sha256.New, version.Bytes, nil, "shiftgrant "+purpose, seal.KeySize)
		if err != nil {
			return nil, nil, fmt.Errorf("derive the key of %s: %w", purpose, err)
		}
		if version.Version == newest {
			key = derived
		} else {
			before = append(before, derived)
		}
	}
	return key, before, nil
}

// adminKeys shows and rotates the keys for an operator.
type adminKeys struct {
	*keyRing
	now func() time.Time
}

// The kinds of keys.
const (
	sealKey   = "seal"
	issuerKey = "issuer"
)

// Keys implements admin.Keys.
func (a *adminKeys) Keys() []admin.Key {
	var all []admin.Key
	newest := a.ring.Newest()
	for _, version := range a.ring.Versions() {
		all = append(all, admin.Key{Kind: sealKey, ID: strconv.FormatUint(uint64(version), 10), InUse: version == newest})
	}
	for _, key := range a.issuer.List(a.now()) {
		all = append(all, signingKey(key))
	}
	return all
}

func signingKey(key issuer.KeyInfo) admin.Key {
	return admin.Key{
		Kind: issuerKey, ID: key.ID, InUse: key.State == issuer.Signs,
		State: string(key.State), From: key.From, Until: key.Until, Place: key.Place,
	}
}

// Rotate implements admin.Keys.
func (a *adminKeys) Rotate(kind string, after time.Duration) (admin.Key, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch kind {
	case sealKey:
		return a.rotateSeal()
	case issuerKey:
		if a.issuerKMS {
			return admin.Key{}, fmt.Errorf("%w: the signing keys are in AWS KMS: make a new one there (`aws kms create-key --key-usage SIGN_VERIFY --key-spec RSA_2048`), add it to keys.issuer_kms in the configuration with a time two days ahead, and restart each gateway",
				admin.ErrRefused)
		}
		now := a.now()
		key, err := a.issuer.Add(now.Add(after), now)
		return signingKey(key), err
	}
	return admin.Key{}, fmt.Errorf("%w: there are keys of the kinds %s and %s", admin.ErrRefused, sealKey, issuerKey)
}

// rotateSeal keeps the new version durably before anything is sealed by it.
func (a *adminKeys) rotateSeal() (admin.Key, error) {
	if !a.sealed.Secret().IsZero() {
		return admin.Key{}, fmt.Errorf("%w: the sealing keys come from keys.seal in the configuration; add a line with version %d there, and every gateway reads it within a minute (from the environment: at its next start)",
			admin.ErrRefused, a.ring.Newest()+1)
	}
	keys, err := a.readSeal()
	if err != nil {
		return admin.Key{}, err
	}
	newest := uint32(0)
	for _, key := range keys {
		newest = max(newest, key.Version)
	}
	keys = append(keys, newKey(newest+1))
	if err := a.files.write(a.sealPath, keys); err != nil {
		return admin.Key{}, err
	}
	if err := a.ring.Replace(keys...); err != nil {
		return admin.Key{}, err
	}
	return admin.Key{Kind: sealKey, ID: strconv.FormatUint(uint64(newest+1), 10), InUse: true}, nil
}
