// Command tlog checks logs and proofs with golang.org/x/mod/sumdb/tlog.
//
//	tlog folder DIR VKEY STEP   checks a folder in the layout of C2SP tlog-tiles, every STEPth record and size
//	tlog verify < claims        tells which claimed proofs Go accepts
//	tlog build < wanted         builds a tree of its own and prints its roots and proofs
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Height of all tiles; C2SP leaves it out of paths, Go does not.
const height = 8

type proof struct {
	Index int64       `json:"index"` // of the record, or size of the older tree
	Size  int64       `json:"size"`
	Leaf  tlog.Hash   `json:"leaf"` // of the record, or root of the older tree
	Root  tlog.Hash   `json:"root"`
	Path  []tlog.Hash `json:"path"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 4 && args[0] == "folder":
		return checkFolder(folder(args[1]), args[2], args[3])
	case len(args) == 1 && args[0] == "verify":
		return verify()
	case len(args) == 1 && args[0] == "build":
		return build()
	}
	return errors.New("expected folder DIR VKEY STEP, verify or build")
}

// folder is a tlog.TileReader over files.
type folder string

func (f folder) Height() int { return height }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := f.readTile(tile)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// readTile falls back to the full tile, as C2SP allows; a partial tile is its beginning.
func (f folder) readTile(tile tlog.Tile) ([]byte, error) {
	data, err := os.ReadFile(f.path(tile))
	if !errors.Is(err, fs.ErrNotExist) || tile.W == 1<<height {
		return data, err
	}
	full := tile
	full.W = 1 << height
	data, err = os.ReadFile(f.path(full))
	if err != nil || len(data) < tile.W*tlog.HashSize {
		return nil, fmt.Errorf("no tile %s", tile.Path())
	}
	return data[:tile.W*tlog.HashSize], nil
}

func (f folder) path(tile tlog.Tile) string {
	published := strings.TrimPrefix(tile.Path(), "tile/"+strconv.Itoa(height)+"/")
	return filepath.Join(string(f), "tile", filepath.FromSlash(published))
}

// records reads the entry bundles in order.
func (f folder) records(size int64) ([][]byte, error) {
	var all [][]byte
	for start := int64(0); start < size; start += 1 << height {
		width := size - start
		if width > 1<<height {
			width = 1 << height
		}
		// Level 0 has the paths of the bundles but for the level's name.
		tile := tlog.Tile{H: height, L: 0, N: start >> height, W: int(width)}
		path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(string(f), filepath.FromSlash(path)))
		if err != nil {
			return nil, err
		}
		for len(data) > 0 {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return nil, errors.New("bundle ends inside of an entry")
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:end])
			data = data[end:]
		}
	}
	if int64(len(all)) != size {
		return nil, fmt.Errorf("%d records in bundles, %d in the checkpoint", len(all), size)
	}
	return all, nil
}

func checkFolder(f folder, vkey, every string) error {
	step, err := strconv.ParseInt(every, 10, 64)
	if err != nil || step < 1 {
		return errors.New("expected a step")
	}
	tree, err := f.checkpoint(vkey)
	if err != nil {
		return err
	}
	records, err := f.records(tree.N)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, f)
	var out struct {
		Size    int64     `json:"size"`
		Root    tlog.Hash `json:"root"`
		Records []proof   `json:"records"`
		Trees   []proof   `json:"trees"`
	}
	out.Size, out.Root = tree.N, tree.Hash
	for n := int64(0); n < tree.N; n++ {
		if n%step != 0 && n != tree.N-1 {
			continue
		}
		leaf := tlog.RecordHash(records[n])
		path, err := tlog.ProveRecord(tree.N, n, reader)
		if err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		if err := tlog.CheckRecord(path, tree.N, tree.Hash, n, leaf); err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		out.Records = append(out.Records, proof{n, tree.N, leaf, tree.Hash, path})
		older, err := tlog.TreeHash(n+1, reader)
		if err != nil {
			return fmt.Errorf("tree %d: %w", n+1, err)
		}
		between, err := tlog.ProveTree(tree.N, n+1, reader)
		if err != nil {
			return fmt.Errorf("tree %d: %w", n+1, err)
		}
		if err := tlog.CheckTree(between, tree.N, tree.Hash, n+1, older); err != nil {
			return fmt.Errorf("tree %d: %w", n+1, err)
		}
		out.Trees = append(out.Trees, proof{n + 1, tree.N, older, tree.Hash, between})
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func (f folder) checkpoint(vkey string) (tlog.Tree, error) {
	var tree tlog.Tree
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree, err
	}
	data, err := os.ReadFile(filepath.Join(string(f), "checkpoint"))
	if err != nil {
		return tree, err
	}
	n, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tree, errors.New("expected three lines and the name of the key as origin")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

func verify() error {
	var claims struct {
		Records []proof `json:"records"`
		Trees   []proof `json:"trees"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&claims); err != nil {
		return err
	}
	var out struct {
		Records []bool `json:"records"`
		Trees   []bool `json:"trees"`
	}
	for _, p := range claims.Records {
		out.Records = append(out.Records, tlog.CheckRecord(p.Path, p.Size, p.Root, p.Index, p.Leaf) == nil)
	}
	for _, p := range claims.Trees {
		out.Trees = append(out.Trees, tlog.CheckTree(p.Path, p.Size, p.Root, p.Index, p.Leaf) == nil)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func build() error {
	var wanted struct {
		Records []string   `json:"records"` // base64
		Leaves  [][2]int64 `json:"leaves"`  // index, size
		Pairs   [][2]int64 `json:"pairs"`   // older size, newer size
	}
	if err := json.NewDecoder(os.Stdin).Decode(&wanted); err != nil {
		return err
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	var out struct {
		Roots  []tlog.Hash `json:"roots"`
		Leaves []proof     `json:"leaves"`
		Pairs  []proof     `json:"pairs"`
		Tiles  []string    `json:"tiles"`
	}
	for n, encoded := range wanted.Records {
		data, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return err
		}
		more, err := tlog.StoredHashes(int64(n), data, reader)
		if err != nil {
			return err
		}
		stored = append(stored, more...)
		root, err := tlog.TreeHash(int64(n+1), reader)
		if err != nil {
			return err
		}
		out.Roots = append(out.Roots, root)
	}
	for _, leaf := range wanted.Leaves {
		path, err := tlog.ProveRecord(leaf[1], leaf[0], reader)
		if err != nil {
			return err
		}
		out.Leaves = append(out.Leaves, proof{Index: leaf[0], Size: leaf[1], Root: out.Roots[leaf[1]-1], Path: path})
	}
	for _, pair := range wanted.Pairs {
		path, err := tlog.ProveTree(pair[1], pair[0], reader)
		if err != nil {
			return err
		}
		out.Pairs = append(out.Pairs, proof{Index: pair[0], Size: pair[1], Root: out.Roots[pair[1]-1], Path: path})
	}
	tiles, err := tileNames(int64(len(wanted.Records)), reader)
	if err != nil {
		return err
	}
	out.Tiles = tiles
	return json.NewEncoder(os.Stdout).Encode(out)
}

// tileNames lists the tiles of a tree in C2SP's spelling, each with its bytes in base64.
func tileNames(size int64, reader tlog.HashReader) ([]string, error) {
	var names []string
	for _, tile := range tlog.NewTiles(height, 0, size) {
		data, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			return nil, err
		}
		name := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		names = append(names, name+" "+base64.StdEncoding.EncodeToString(data))
	}
	return names, nil
}
