package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/torchwood"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Workers of fsck: with one, v1.0.4 never ends where a tile is wrong.
const workers = 8

// What Tessera and torchwood say of a log: `directory` has its files (c2sp.org/tlog-tiles), `vkey`, and for each NAME.proof an entry with its proof.
func (j *judge) log(directory string) {
	vkey := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(directory, "vkey")))))
	verifier := must(torchwood.NewLogVerifier(vkey))
	if err := check(directory, verifier); err != nil {
		j.find("%s: Tessera's fsck: %v", directory, err)
	}
	j.looked++
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(verifier.Name()), torchwood.SingleVerifierPolicy(verifier))
	for _, file := range must(filepath.Glob(filepath.Join(directory, "*.proof"))) {
		proof := must(os.ReadFile(file))
		entry := must(torchwood.ProofExtraData(proof))
		if err := torchwood.VerifyProof(policy, tlog.RecordHash(entry), proof); err != nil {
			j.find("%s: torchwood: %v", file, err)
		}
		if torchwood.VerifyProof(policy, tlog.RecordHash(append(entry, 0)), proof) == nil {
			j.find("%s: torchwood takes another entry, too", file)
		}
		j.looked++
	}
	j.changed(directory, verifier)
}

// One octet of each file changed: the files tell nothing any more of whether fsck finds nothing if it finds nothing then, either.
func (j *judge) changed(directory string, verifier note.Verifier) {
	files := []string{filepath.Join(directory, "checkpoint")}
	err := filepath.WalkDir(filepath.Join(directory, "tile"), func(path string, found fs.DirEntry, err error) error {
		if err == nil && !found.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		j.find("%v", err)
	}
	for _, file := range files {
		octets := must(os.ReadFile(file))
		changed := bytes.Clone(octets)
		changed[len(changed)/2] ^= 1
		if err := os.WriteFile(file, changed, 0o600); err != nil {
			j.find("%v", err)
		}
		if check(directory, verifier) == nil {
			j.find("%s: Tessera's fsck does not find a changed octet", file)
		}
		if err := os.WriteFile(file, octets, 0o600); err != nil {
			j.find("%v", err)
		}
		j.looked++
	}
}

func check(directory string, verifier note.Verifier) error {
	files := client.FileFetcher{Root: directory}
	return fsck.New(verifier.Name(), verifier, files, leaves, fsck.Opts{N: workers}).Check(context.Background())
}

// The leaf hashes of a bundle of entries (tlog-tiles, "Log Entries"), read strictly: Tessera's own reader panics at one that is cut short.
func leaves(bundle []byte) ([][]byte, error) {
	var hashes [][]byte
	for len(bundle) > 0 {
		if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
			return nil, errors.New("a bundle of entries is cut short")
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		hash := tlog.RecordHash(bundle[2:end])
		hashes = append(hashes, hash[:])
		bundle = bundle[end:]
	}
	if len(hashes) == 0 {
		return nil, errors.New("a bundle of no entries")
	}
	return hashes, nil
}
