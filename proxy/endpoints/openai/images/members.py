"""The table of members of calls for pictures."""

from typing import Final

from proxy.endpoints.members import Member, MemberTable
from proxy.endpoints.openai.images.given import PICTURES, hidden_pictures
from proxy.endpoints.openai.images.parameters import DEFAULTS, written_formats
from proxy.endpoints.openai.members import EVERYWHERE, refused, rows

_BOUNDED: Final = Member("bounded")

IMAGE: Final = MemberTable(
    {
        **EVERYWHERE,
        **rows("prompt negative_prompt stream n partial_images frame_count", _BOUNDED),
        **dict.fromkeys(DEFAULTS, _BOUNDED),
        "output_format": Member("priced", written_formats),
        **dict.fromkeys(PICTURES, Member("priced", hidden_pictures)),
        **rows(
            """
            svg prompt_rewriter num_images num_outputs num_samples num_images_per_prompt images_per_prompt
            number_of_images batch_size batch_count sample_count sampleCount samples
            """,
            Member("refused", refused),
        ),
        **rows(
            """
            moderation output_compression frame_duration_ms response_format style seed guidance_scale
            cfg_scale
            """,
            Member("passed"),
        ),
    }
)
"""The members of a call for pictures, of whichever of its three endpoints."""
