package main

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	pb "rootcellar/v1"
)

// signer signs requests as rootcellar/v1/signature.proto says: each alone, with a P-256 key. The origin is the log's, from the trust bundle.
type signer struct {
	pair   tls.Certificate
	origin string
}

// signed gives the bytes of a request's body and the signature over them.
func (s signer) signed(method string, body proto.Message) ([]byte, *pb.RequestSignature) {
	bytes := must(proto.Marshal(body))
	leaf := fmt.Sprintf("\x00/rootcellar.v1.%s\n%x\n", method, sha256.Sum256(bytes))
	root := sha256.Sum256([]byte(leaf))
	now := time.Now().UnixMilli()
	serial := s.pair.Leaf.SerialNumber.Text(16)
	text := fmt.Sprintf("rootcellar/v1 requests\n%s\n%s\n%d\n1\n%s\n", s.origin, serial, now, base64.StdEncoding.EncodeToString(root[:]))
	digest := sha256.Sum256([]byte(text))
	made := must(s.pair.PrivateKey.(crypto.Signer).Sign(rand.Reader, digest[:], crypto.SHA256))
	return bytes, &pb.RequestSignature{TimeUnixMs: now, Size: 1, Signature: made}
}
