"""Generation: latent diffusion whose sampling follows the gradient of an encoder of the brain."""
