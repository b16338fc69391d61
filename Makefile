.DEFAULT_GOAL := help
.PHONY: help image boot test acceptance media adversarial reproducible verify-release release gpu-qualify bench fuzz lint clean
RECIPE ?= debian-13
SECONDS ?= 3
# The newest release directory.
DIR ?= $(patsubst %/,%,$(dir $(firstword $(shell ls -t out/*/*/RELEASE_MANIFEST.json 2>/dev/null))))
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 26
image: ## build, measure and sign the image (RECIPE=debian-13)
	@npm run --silent image -- $(RECIPE)
boot: ## boot the newest image in a virtual machine at this terminal
	@npm run --silent boot
test: ## everything: lint, unit, contract, image, reproducible, acceptance but its longest, the quick part of adversarial, media
	@npm run --silent test
acceptance: ## boot the built image and check that every documented path works
	@npm run --silent acceptance
media: ## boot every medium of the newest release, and install from the ISO
	@npm run --silent media
adversarial: ## attack the built image; each attack must meet its named refusal
	@npm run --silent adversarial
reproducible: ## build the image again elsewhere and compare every byte
	@npm run --silent reproducible
verify-release: ## verify the newest release directory (DIR=... for another)
	@npm run --silent verify-release -- $(DIR)
release: ## build a release candidate with every medium: refuses drift from the lock (RECIPE=debian-13)
	@npm run --silent release -- $(RECIPE)
gpu-qualify: ## prove that this machine's GPU computes what the CPU computes (ARGS='--tree DIR --apply')
	@npm run --silent gpu-qualify -- $(ARGS)
bench: ## measure against peers in the same run
	@npm run --silent bench
fuzz: ## feed hostile bytes to every parser (SECONDS=3 each)
	@npm run --silent fuzz -- --seconds $(SECONDS)
lint: ## types, formatting, imports, architecture
	@npm run --silent lint
clean: ## remove build output; caches and keys stay
	@npm run --silent clean
