// Registers an agent and gets it a certificate, knowing the contract alone.
//
// usage: agent SERVER CREDENTIALS LOG AGENT CSR OUT
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	pb "rootcellar/v1"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func refusedWith(code codes.Code, err error) {
	if status.Code(err) != code {
		log.Fatalf("it was not refused with %s: %v", code, err)
	}
}

func main() {
	server, dir, origin, agent, csr, out := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]
	pair := must(tls.LoadX509KeyPair(filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem")))
	pair.Leaf = must(x509.ParseCertificate(pair.Certificate[0]))
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(must(os.ReadFile(filepath.Join(dir, "bundle.pem")))) {
		log.Fatal("bundle.pem holds no certificate")
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS13}
	connection := must(grpc.Dial(server, grpc.WithTransportCredentials(credentials.NewTLS(config))))
	defer connection.Close()
	within, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	signer := signer{pair, origin}

	body, signature := signer.signed("AgentService/CreateAgent", &pb.CreateAgentBody{
		Agent: &pb.Agent{Name: agent, Roles: []string{"logger"}}, RequestId: "go-agent",
	})
	agents := pb.NewAgentServiceClient(connection)
	created := must(agents.CreateAgent(within, &pb.CreateAgentRequest{Body: body, Signature: signature})).Agent

	issuance := pb.NewIssuanceServiceClient(connection)
	issue := func(what *pb.IssueCertificateBody) (*pb.Certificate, error) {
		body, signature := signer.signed("IssuanceService/IssueCertificate", what)
		answer, err := issuance.IssueCertificate(within, &pb.IssueCertificateRequest{Body: body, Signature: signature})
		return answer.GetCertificate(), err
	}
	request := &pb.IssueCertificateBody{
		Agent: created.Name, Csr: must(os.ReadFile(csr)), Lifetime: durationpb.New(10 * time.Minute), RequestId: "go-1",
	}
	certificate := must(issue(request))
	if !proto.Equal(must(issue(request)), certificate) {
		log.Fatal("the same request gave another certificate")
	}
	_, err := issue(&pb.IssueCertificateBody{Agent: "agents/prod/x", Csr: request.Csr, RequestId: "go-2"})
	refusedWith(codes.PermissionDenied, err)
	unsigned := &pb.IssueCertificateRequest{Body: must(proto.Marshal(request))}
	_, err = issuance.IssueCertificate(within, unsigned)
	refusedWith(codes.Unauthenticated, err)

	var chain []byte
	for _, der := range certificate.Chain {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err := os.WriteFile(out, chain, 0o644); err != nil {
		log.Fatal(err)
	}
	fmt.Println(certificate.SpiffeId)
}
