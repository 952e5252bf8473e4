# What `nix build .#NAME` knows: the workspace, each program by itself, the verification page, the documents.
{ pkgs }:

{
  default = pkgs.birthmark;
  inherit (pkgs)
    birthmark
    birthmark-daemons
    birthmark-command
    birthmark-demo
    birthmark-signer
    birthmark-gps
    birthmark-capture
    birthmark-capture-libcamera
    birthmark-capture-rehearsal
    birthmark-signer-rehearsal
    birthmark-sma
    birthmark-node
    birthmark-common
    birthmark-verify-page
    birthmark-docs
    ;
}
